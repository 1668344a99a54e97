import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createConnection } from 'node:net'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { readJson, type FunctionSpec } from '../../src/local/lambda/environment.ts'
import { createFunctionUrl, createLambdaFunction } from '../../src/local/lambda/lambda-function.ts'
import { useFolder, waitFor } from '../support/relay.ts'

/** A function with this code, the lines that it writes and the ids of its processes. */
async function useFunction(code: string, own: Partial<FunctionSpec> = {}) {
  const taskRoot = await useFolder()
  await mkdir(join(taskRoot, 'dist'))
  await writeFile(join(taskRoot, 'dist/index.mjs'), code)
  const lines: string[] = []
  const pids: number[] = []
  const lambda = createLambdaFunction(
    {
      name: 'enigma-test',
      handler: 'dist/index.handler',
      taskRoot,
      memoryMiB: 128,
      timeoutMs: 2_000,
      variables: { GREETING: 'hello' },
      ...own,
    },
    {
      aws: { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'local' },
      onLine: (line) => lines.push(line),
      onStart: (pid) => pids.push(pid),
    },
  )
  onTestFinished(() => lambda.stop())
  return { lambda, lines, pids, call: async (event: unknown) => readJson(await lambda.invoke(event)) }
}

const stateOf = async (pid: number | undefined) =>
  /\) (\w)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''))?.[1] ?? 'gone'

test('a function starts cold, is invoked with its context, and is frozen between two invocations', async () => {
  const { lambda, pids, call } = await useFunction(`
    let count = 0, ticks = 0
    setInterval(() => ticks++, 10)
    export const handler = async (event, context) => ({
      event, count: ++count, ticks, id: context.awsRequestId, name: context.functionName, arn: context.invokedFunctionArn, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID,
    })`)
  const first = (await call({ a: 1 })) as Record<string, unknown>
  expect(first).toMatchObject({
    event: { a: 1 },
    count: 1,
    name: 'enigma-test',
    arn: 'arn:aws:lambda:eu-west-1:000000000000:function:enigma-test',
    trace: expect.stringMatching(/^Root=1-/) as string,
  })
  expect(first['left']).toBeGreaterThan(1_000)
  await waitFor(async () => (await stateOf(pids[0])) === 'T', 'it to be frozen')
  await new Promise((resolve) => setTimeout(resolve, 500))
  const second = (await call({})) as { count: number; ticks: number; id: string }
  expect(second).toMatchObject({ count: 2 })
  // Frozen, it did nothing for half a second.
  expect(second.ticks).toBeLessThan(20)
  expect(second.id).not.toBe(first['id'])
  expect([lambda.seen.coldStarts, pids.length]).toEqual([1, 1])
})

test('a function sees only the variables of the template and those that Lambda sets', async () => {
  process.env['ENIGMA_NOT_FOR_FUNCTIONS'] = 'secret'
  const { call } = await useFunction('export const handler = async () => process.env')
  const env = (await call({})) as Record<string, string>
  delete env['_X_AMZN_TRACE_ID']
  expect(Object.keys(env).toSorted()).toEqual([
    'AWS_ACCESS_KEY_ID',
    'AWS_EXECUTION_ENV',
    'AWS_LAMBDA_FUNCTION_MEMORY_SIZE',
    'AWS_LAMBDA_FUNCTION_NAME',
    'AWS_LAMBDA_FUNCTION_VERSION',
    'AWS_LAMBDA_RUNTIME_API',
    'AWS_REGION',
    'GREETING',
    'LAMBDA_TASK_ROOT',
    'LANG',
    'TZ',
    '_HANDLER',
  ])
  expect(env).toMatchObject({
    GREETING: 'hello',
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '128',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
  })
})

test('a function that times out is killed, and the next invocation is a cold start', async () => {
  const { lambda, pids, call } = await useFunction(
    'export const handler = async (event) => (event.hang ? new Promise(() => setInterval(() => 0, 1000)) : process.pid)',
    { timeoutMs: 400 },
  )
  const pid = await call({})
  await expect(call({ hang: true })).rejects.toMatchObject({
    errorType: 'Sandbox.Timedout',
    message: 'enigma-test: Task timed out after 0.40 seconds',
  })
  await waitFor(async () => (await stateOf(pids[0])) === 'gone', 'the process to be gone')
  expect(await call({})).not.toBe(pid)
  expect(lambda.seen.coldStarts).toBe(2)
})

test('an environment whose process is killed while it is frozen is not used again', async () => {
  const { lambda, pids, call } = await useFunction('export const handler = async () => process.pid')
  const pid = await call({})
  await waitFor(async () => (await stateOf(pids[0])) === 'T', 'the process to be frozen')
  process.kill(pids[0] ?? 0, 'SIGKILL')
  await waitFor(async () => (await stateOf(pids[0])) === 'gone', 'the process to be gone')
  expect(await call({})).not.toBe(pid)
  expect(lambda.seen).toEqual({ coldStarts: 2, environments: 1 })
})

test('invocations at the same time have environments of their own', async () => {
  const { lambda, call } = await useFunction(
    'export const handler = async () => { await new Promise((resolve) => setTimeout(resolve, 200)); return process.pid }',
  )
  expect(new Set(await Promise.all([call({}), call({}), call({})])).size).toBe(3)
  await call({})
  expect(lambda.seen).toEqual({ coldStarts: 3, environments: 3 })
})

test('the next invocation waits for an environment that has answered but is not frozen yet', async () => {
  // Its runtime stands still for a while before it asks for the second invocation.
  const { lambda, call } = await useFunction(`
    import http from 'node:http'
    import { syncBuiltinESMExports } from 'node:module'
    const { request } = http
    let asked = 0
    http.request = (options) => {
      const isNext = options.path.endsWith('invocation/next')
      if (isNext && ++asked === 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
      return request(options)
    }
    syncBuiltinESMExports()
    export const handler = async () => process.pid`)
  expect(await call({})).toBe(await call({}))
  expect(lambda.seen).toEqual({ coldStarts: 1, environments: 1 })
})

test('a thrown error, an exit and a failed start each have their own error type', async () => {
  const thrower = await useFunction('export const handler = async () => { throw new RangeError("too far") }')
  await expect(thrower.call({})).rejects.toMatchObject({ errorType: 'RangeError', message: 'too far' })
  // It goes on to be used.
  await expect(thrower.call({})).rejects.toMatchObject({ errorType: 'RangeError' })
  expect(thrower.lambda.seen.coldStarts).toBe(1)
  await waitFor(() => thrower.lines.some((line) => line.includes('too far')), 'the error in its log')
  const quitter = await useFunction('export const handler = async () => process.exit(3)')
  await expect(quitter.call({})).rejects.toMatchObject({ errorType: 'Runtime.ExitError' })
  const broken = await useFunction('throw new TypeError("no address")\nexport const handler = 1')
  await expect(broken.call({})).rejects.toMatchObject({
    errorType: 'Runtime.InitError',
    message: 'TypeError: no address',
  })
})

test('stop ends an environment that is still starting, and waits for it', async () => {
  const { lambda, pids, call } = await useFunction('await new Promise(() => setInterval(() => 0, 1000))')
  const calling = call({}).catch((error: unknown) => error)
  await waitFor(async () => (await stateOf(pids[0])) === 'S', 'it to start')
  await lambda.stop()
  expect(await stateOf(pids[0])).toMatch(/gone|Z/)
  expect(await calling).toMatchObject({ errorType: 'Runtime.ExitError' })
})

test('a process whose parent is gone exits by itself, even if its output is not read', async () => {
  const bootstrap = fileURLToPath(new URL('../../src/local/lambda/bootstrap.ts', import.meta.url))
  const env = { AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9', _HANDLER: 'none.handler', LAMBDA_TASK_ROOT: await useFolder() }
  const child = spawn(process.execPath, [bootstrap], { stdio: ['ignore', 'ignore', 'pipe'], env })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stderr.destroy()
  expect(await once(child, 'exit')).toEqual([1, null])
})

async function useUrl(code: string, own: Partial<FunctionSpec> = {}) {
  const { lambda } = await useFunction(code, own)
  const server = createFunctionUrl(lambda)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('a function URL streams: the first bytes arrive before the function writes the last ones', async () => {
  const port = await useUrl(`
    export const handler = awslambda.streamifyResponse(async (event, stream) => {
      const out = awslambda.HttpResponseStream.from(stream, { statusCode: 203, headers: { 'content-type': 'text/plain', 'x-path': event.rawPath + '?' + event.rawQueryString }, cookies: ['a=1', 'b=2'] })
      out.write('first ')
      await new Promise((resolve) => setTimeout(resolve, 600))
      out.write('last')
      out.end()
    })`)
  const response = await fetch(`http://127.0.0.1:${port}/some/path?q=%20`)
  expect([response.status, response.headers.get('x-path'), response.headers.getSetCookie()]).toEqual([
    203,
    '/some/path?q=%20',
    ['a=1', 'b=2'],
  ])
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const from = performance.now()
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('first ')
  const first = performance.now() - from
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('last')
  expect(performance.now() - from).toBeGreaterThan(first + 200)
})

test('a URL of a function that does not stream answers at once; one that fails answers 502', async () => {
  const port = await useUrl(`
    export const handler = async (event) => {
      if (event.rawPath === '/fail') throw new Error('x')
      return { statusCode: 201, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify({ method: event.requestContext.http.method, body: Buffer.from(event.body ?? '', 'base64').toString() })).toString('base64'), isBase64Encoded: true }
    }`)
  const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'bytes' })
  expect([response.status, await response.json()]).toEqual([201, { method: 'POST', body: 'bytes' }])
  const failed = await fetch(`http://127.0.0.1:${port}/fail`)
  expect([failed.status, await failed.json()]).toEqual([502, { Message: 'Internal Server Error' }])
  // A caller that disconnects does not affect other callers.
  createConnection(port, '127.0.0.1').end('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(201)
})
