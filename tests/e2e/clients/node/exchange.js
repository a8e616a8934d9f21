// One question and its answer, as JSON over standard input and output.
import { text } from 'node:stream/consumers';

export async function exchange(answer) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(await text(process.stdin)))));
}
