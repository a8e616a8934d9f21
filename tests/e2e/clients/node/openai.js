// `openai` for Node: previous_response_id. Reads a question from standard input and writes the output items.
import OpenAI from 'openai';
import { exchange } from './exchange.js';

await exchange(async ({ url, tools, include, streaming, question, state }) => {
  const client = new OpenAI({ baseURL: url, apiKey: 'none', maxRetries: 0 });
  const request = { model: 'any', input: question, tools, include, previous_response_id: state };
  if (!streaming) {
    const response = await client.responses.create(request);
    return { output: response.output, text: response.output_text, state: response.id };
  }
  let text = '';
  const stream = client.responses.stream(request);
  stream.on('response.output_text.delta', (event) => (text += event.delta));
  const response = await stream.finalResponse();
  return { output: response.output, text, state: response.id };
});
