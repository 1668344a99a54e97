import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { post } from '../../functions/post.ts'

async function useServer(listener: RequestListener) {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/path`
  return {
    server,
    ask: (body: string, signal = AbortSignal.timeout(10_000)) =>
      post(url, { headers: { 'x-own': 'yes' }, body, signal }),
  }
}

test('a body goes out and an answer comes in as they are, also when it is gzipped', async () => {
  const { ask } = await useServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const { method, url, headers } = request
        const text = JSON.stringify({
          method,
          url,
          own: headers['x-own'],
          length: headers['content-length'],
          body: Buffer.concat(chunks).toString(),
        })
        response.writeHead(418, { 'content-encoding': 'gzip', 'x-answer': 'here' }).end(gzipSync(text))
      })
  })
  const { status, headers, text } = await ask('é☎')
  expect({ status, answer: headers['x-answer'], ...(JSON.parse(text) as object) }).toEqual({
    status: 418,
    answer: 'here',
    method: 'POST',
    url: '/some/path',
    own: 'yes',
    length: '5',
    body: 'é☎',
  })
})

test('a signal ends it with its own reason, before the answer and in the middle of it', async () => {
  const reached = Promise.withResolvers<void>()
  const silent = await useServer(() => reached.resolve())
  const halfway = await useServer((_, response) => response.writeHead(200, { 'content-length': '10' }).write('half'))
  for (const { ask } of [silent, halfway])
    await expect(ask('', AbortSignal.timeout(50))).rejects.toMatchObject({ name: 'TimeoutError' })
  await reached.promise
})

test('an answer that is cut off is an error, and so is nobody there', async () => {
  const { ask, server } = await useServer((_, response) => {
    response.writeHead(200, { 'content-length': '10' }).write('half')
    setTimeout(() => response.destroy(), 20)
  })
  await expect(ask('')).rejects.toMatchObject({ code: 'ECONNRESET' })
  server.close()
  server.closeAllConnections()
  await expect(ask('')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('a kept connection that the server has closed is replaced by a new one; a new one that is cut is not asked again', async () => {
  let requests = 0
  const seen = new Set<unknown>()
  const { ask } = await useServer((request, response) => {
    requests++
    // A second request on a connection finds it closed, as after a freeze.
    if (seen.has(request.socket) || requests === 4) request.socket.destroy()
    else response.end('fine')
    seen.add(request.socket)
  })
  expect((await ask('')).text).toBe('fine')
  expect((await ask('')).text).toBe('fine')
  expect([requests, seen.size]).toEqual([3, 2])
  // The last connection is reused and closed, and so is the new one.
  requests = 2
  await expect(ask('')).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(requests).toBe(4)
})
