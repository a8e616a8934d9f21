"""An agent with all three hosted tools: python agent.py QUESTION [VECTOR_STORE_ID…]"""

import sys

from agents import Agent, CodeInterpreterTool, FileSearchTool, Runner, WebSearchTool, set_tracing_disabled

question, *stores = sys.argv[1:]
set_tracing_disabled(True)  # traces go to OpenAI

agent = Agent(
    name="Researcher",
    instructions="Use the tools rather than your memory, and compute rather than estimate.",
    tools=[
        WebSearchTool(),
        CodeInterpreterTool({"type": "code_interpreter", "container": {"type": "auto"}}),
        *([FileSearchTool(vector_store_ids=stores)] if stores else []),
    ],
)
result = Runner.run_sync(agent, question)
for item in result.new_items:
    if item.type == "tool_call_item":
        print(f"[{item.raw_item.type}]", file=sys.stderr)
print(result.final_output)
