"""The self-hosted runtime for the hosted tools of OpenAI's Responses API."""

__version__ = "0.1.0"
