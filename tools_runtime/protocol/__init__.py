"""The wire: OpenAI's items, tools, requests, responses and events, as pydantic models. Imports nothing of ours.

Only what this project uses is modelled. Unknown fields of items survive a round trip (``extra="allow"``).
"""
