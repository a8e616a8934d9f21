"""Answers a question from the web: python research.py QUESTION"""

import sys

from openai import OpenAI

client = OpenAI()
sources = []

stream = client.responses.create(
    input=sys.argv[1],
    tools=[{"type": "web_search", "search_context_size": "high"}],
    stream=True,
)
for event in stream:
    if event.type == "response.output_item.done" and event.item.type == "web_search_call":
        action = event.item.action
        print(f"[{action.type}: {getattr(action, 'query', None) or getattr(action, 'url', '')}]", file=sys.stderr)
    elif event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
    elif event.type == "response.output_text.annotation.added":
        sources.append(event.annotation)

print()
for url, title in {source.url: source.title for source in sources}.items():
    print(f"- {title}: {url}")
