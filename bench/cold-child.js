/*
 * One cold start: imports a bundle and has it handle one event. Prints how long (ms) each of the two took. Plain JavaScript, as Lambda's
 * own runtime is: what strips types would go on compiling itself beside what is measured.
 * Arguments: the bundle, the event as JSON.
 */
import { PassThrough } from 'node:stream'

// As the runtime has it: the API streams its answers.
globalThis.awslambda = {
  streamifyResponse: (handler) => async (event, context) => {
    const stream = new PassThrough().resume()
    await handler(event, stream, context)
    return stream.head
  },
  HttpResponseStream: { from: (stream, head) => Object.assign(stream, { head }) },
}

const [, , bundle = '', event = ''] = process.argv

const from = performance.now()
const { handler } = await import(bundle)
const imported = performance.now()
const answer = await handler(JSON.parse(event), {
  awsRequestId: '1',
  functionName: 'bench',
  getRemainingTimeInMillis: () => 30_000,
})
const done = performance.now()
process.stdout.write(JSON.stringify({ importMs: imported - from, invokeMs: done - imported, answer }))
process.exit(0)
