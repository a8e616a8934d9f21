"""Asks a question about local files: python ask_files.py QUESTION FILE…"""

import sys
from pathlib import Path

from openai import OpenAI

question, *names = sys.argv[1:]
client = OpenAI()

store = client.vector_stores.create(name="ask_files.py", expires_after={"anchor": "last_active_at", "days": 1})
for name in names:
    member = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=Path(name))
    if member.last_error:
        print(f"{name} cannot be searched: {member.last_error.message}", file=sys.stderr)

response = client.responses.create(
    input=question,
    tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
    include=["file_search_call.results"],
)
print(response.output_text)

# A citation says which file; the results say where in it.
cited = {
    annotation.file_id
    for item in response.output
    if item.type == "message"
    for annotation in item.content[0].annotations
    if annotation.type == "file_citation"
}
for item in response.output:
    if item.type == "file_search_call":
        for result in item.results or []:
            if result.file_id in cited:
                page = result.to_dict().get("page")
                print(f"- {result.filename}{f', page {page}' if page else ''} (score {result.score:.2f})")
