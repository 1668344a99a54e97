import { build } from 'esbuild'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FUNCTION_BUNDLE } from '../../infra/build/bundle-functions.ts'
import { createLambdaFunction } from '../../src/local/lambda/lambda-function.ts'
import { readJson } from '../../src/local/lambda/environment.ts'
import { formatEvent } from '../../src/protocol/index.ts'
import { notification } from '../adapter/factories.ts'
import { ROOT } from '../cli/run.ts'
import { useFolder } from '../support/relay.ts'

/** A function with this code in its handler, bundled as for a deployment, in its own execution environment. */
async function useStep(step: string) {
  const taskRoot = await useFolder()
  await mkdir(join(taskRoot, 'dist'))
  const contents = `
    import { Hono } from 'hono'
    import { fromSqs } from 'enigma-relay/adapter'
    import { wire } from './src/lambda/wiring.ts'
    import { OTHER } from 'enigma-relay/protocol'
    const app = new Hono()
    let count = 0
    app.post('/*', async (c) => { count++; ${step}; return c.body(null, 204) })
    const run = fromSqs(app, { ...wire(OTHER), commit: async () => {}, recall: async () => new Map() })
    export const handler = async (event, context) => ({ ...(await run(event, context)), count })`
  const stdin = { contents, resolveDir: ROOT, loader: 'ts' } as const
  const { sourcemap: _, ...options } = FUNCTION_BUNDLE
  await build({ ...options, stdin, outfile: join(taskRoot, 'dist/index.mjs') })
  const lines: string[] = []
  const lambda = createLambdaFunction(
    {
      name: 'acme-agents-call',
      handler: 'dist/index.handler',
      taskRoot,
      memoryMiB: 256,
      timeoutMs: 5_000,
      variables: {},
    },
    { aws: { AWS_REGION: 'eu-west-1' }, onLine: (line) => lines.push(line) },
  )
  onTestFinished(() => lambda.stop())
  const record = {
    messageId: 'm-1',
    receiptHandle: 'r-1',
    body: formatEvent(notification('1002', 1)),
    attributes: { ApproximateReceiveCount: '1', MessageGroupId: 'g' },
    eventSourceARN: 'arn:aws:sqs:eu-west-1:000000000000:acme-agents-call.fifo',
  }
  return { lambda, lines, call: async () => readJson(await lambda.invoke({ Records: [record] })) }
}

test('a rejected promise that a handler does not await is logged with function and code, masked; process and batch continue', async () => {
  const { lambda, lines, call } = await useStep(
    `void Promise.reject(new Error('CRM refused 27821234567')); void Promise.reject('no error 27821234567'); await new Promise((resolve) => setTimeout(resolve, 5))`,
  )
  expect(await call()).toEqual({ batchItemFailures: [], count: 1 })
  expect(await call()).toEqual({ batchItemFailures: [], count: 2 })
  expect(lambda.seen.coldStarts).toBe(1)
  const logged = lines.map((line) => JSON.parse(line) as object)
  expect(logged.slice(0, 2)).toMatchObject([
    {
      level: 'error',
      code: 'functions.process.unhandled_rejection',
      function: 'acme-agents-call',
      error: 'Error: CRM refused ***********',
    },
    { code: 'functions.process.unhandled_rejection', error: 'the thrown value is not an Error' },
  ])
  expect(lines.join()).not.toContain('2782')
})

test.each([
  [
    'an error that a handler throws outside a promise',
    `setTimeout(() => { throw new RangeError('too far') }, 1)`,
    'RangeError',
  ],
  [
    'a failure of the runtime client itself',
    `void Promise.reject(Object.assign(new Error('no next'), { name: 'Runtime.PlatformError' }))`,
    'Runtime.PlatformError',
  ],
])('%s still ends the process', async (_, step, code) => {
  const { call } = await useStep(`${step}; await new Promise((resolve) => setTimeout(resolve, 500))`)
  await expect(call()).rejects.toMatchObject({ errorType: code })
})
