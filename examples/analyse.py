"""Has a data file analysed, and saves what the code makes: python analyse.py QUESTION FILE"""

import sys
from pathlib import Path

from openai import OpenAI

question, name = sys.argv[1:]
client = OpenAI()

file = client.files.create(
    file=Path(name), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
)
stream = client.responses.create(
    input=question,
    tools=[{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file.id]}}],
    stream=True,
)
made = []
for event in stream:
    if event.type == "response.code_interpreter_call_code.delta":
        print(event.delta, end="", flush=True, file=sys.stderr)
    elif event.type == "response.code_interpreter_call_code.done":
        print(file=sys.stderr)
    elif event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
    elif event.type == "response.output_text.annotation.added":
        made.append(event.annotation)

print()
for citation in made:
    content = client.containers.files.content.retrieve(citation.file_id, container_id=citation.container_id)
    # The name comes from the model's code: only its last part may say where the file goes.
    target = Path(Path(citation.filename).name)
    target.write_bytes(content.read())
    print(f"- saved {target}")
