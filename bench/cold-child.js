/*
 * Measures one cold start: imports a bundle, lets it handle one event, and prints how long (ms) each of the two took. It is plain JavaScript, as Lambda's
 * own runtime is, because the code in Node that strips types would be compiled during the measurement.
 * Arguments: the bundle, the event as JSON.
 */
import { PassThrough } from 'node:stream'

// Lambda's runtime provides this global. The API streams its answers through it.
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
