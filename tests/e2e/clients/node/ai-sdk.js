// Vercel's `ai` with `@ai-sdk/openai`: sends back its own messages, or goes on by previousResponseId where `byId` says so.
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, streamText } from 'ai';
import { exchange } from './exchange.js';

await exchange(async ({ url, store, byId, streaming, question, state }) => {
  const openai = createOpenAI({ baseURL: url, apiKey: 'none' });
  const asked = { role: 'user', content: question };
  const messages = byId ? [asked] : [...(state ?? []), asked];
  // It asks for what the other two tools have found by itself.
  const options = { include: ['file_search_call.results'], ...(byId && state ? { previousResponseId: state } : {}) };
  const request = {
    model: openai.responses('any'),
    messages,
    maxRetries: 0,
    tools: {
      file_search: openai.tools.fileSearch({ vectorStoreIds: [store] }),
      web_search: openai.tools.webSearch(),
      code_interpreter: openai.tools.codeInterpreter(),
    },
    providerOptions: { openai: options },
  };
  const result = streaming ? await streamed(request) : await generateText(request);
  const content = await result.content;
  const metadata = await result.providerMetadata;
  return {
    ...shown(content),
    sources: content.filter((part) => part.type === 'source').map((part) => part.url ?? part.filename),
    state: byId ? metadata.openai.responseId : [...messages, ...(await result.response).messages],
  };
});

async function streamed(request) {
  const result = streamText({ ...request, onError: ({ error }) => { throw error; } });
  const kinds = new Set();
  for await (const part of result.fullStream) {
    kinds.add(part.type);
    if (part.type === 'error') throw part.error;
  }
  for (const kind of ['text-delta', 'tool-input-delta', 'tool-call', 'tool-result', 'source', 'finish']) {
    if (!kinds.has(kind)) throw new Error(`the stream has no ${kind}, only ${[...kinds]}`);
  }
  return result;
}

function shown(content) {
  const answer = { text: '', calls: [], annotations: [], logs: '' };
  for (const part of content) {
    if (part.type === 'text') {
      answer.text += part.text;
      answer.annotations.push(...(part.providerMetadata?.openai?.annotations ?? []));
    } else if (part.type === 'tool-call') {
      answer.calls.push(part.toolName);
    } else if (part.type === 'tool-result' && part.toolName === 'code_interpreter') {
      answer.logs += (part.output.outputs ?? []).map((output) => output.logs ?? '').join('');
    }
  }
  return answer;
}
