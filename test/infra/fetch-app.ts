import { Hono } from 'hono'
import { handle, streamHandle } from 'hono/aws-lambda'
import { event, fromSqs, type Parked } from 'enigma-relay/adapter'
import { toRequest, type Notification } from 'enigma-relay/protocol'
import { createUpstash, type UpstashOptions } from '../../src/store/upstash.ts'

/** A function of a user's own, which uses what a handler may use of the fetch standard. Run out of its sources, and out of a bundle. */
const app = new Hono<{ Bindings: { upstream: string } }>()
const UPSTREAM = process.env['TEST_UPSTREAM'] ?? ''

app.post('/agents/empty/*', (c) => c.body(null, 204))
app.post('/agents/proxied/*', () => fetch(`${UPSTREAM}/teapot`, { method: 'POST', body: 'x' }))
app.post('/agents/forwarded/*', async (c) =>
  c.text(await (await fetch(new Request(`${UPSTREAM}/echo`, c.req.raw))).text(), 418),
)
app.post('/agents/fetched/*', async (c) =>
  c.text(
    await (
      await fetch(new Request(`${UPSTREAM}/echo`, { method: 'POST', body: 'own', headers: { 'ce-own': c.req.path } }))
    ).text(),
    418,
  ),
)
app.post('/agents/global/*', async (c) =>
  c.text(
    await (await globalThis.fetch(new globalThis.Request(`${UPSTREAM}/echo`, { method: 'PUT', body: 'own' }))).text(),
    418,
  ),
)
app.post('/agents/headers/*', async (c) =>
  c.text(
    await (
      await fetch(`${UPSTREAM}/echo`, {
        method: 'POST',
        headers: c.req.raw.headers,
        body: c.req.raw.body,
        duplex: 'half',
      })
    ).text(),
    418,
  ),
)
app.post('/agents/clone/*', async (c) =>
  c.text(`${await c.req.raw.clone().text()} ${await c.req.text()} ${(await c.req.blob()).size}`, 418),
)
app.post('/agents/bytes/*', async (c) => c.text(Buffer.from(await c.req.arrayBuffer()).toString('hex'), 418))
app.post('/agents/signal/*', (c) => fetch(`${UPSTREAM}/never`, { signal: c.req.raw.signal }))
app.post('/agents/kinds/*', (c) =>
  c.json(
    [
      c.req.raw instanceof Request,
      c.res instanceof Response,
      c.req.raw.headers instanceof Headers,
      c.req.raw instanceof globalThis.Request,
      c.req.raw.signal.aborted,
      c.req.raw.mode,
    ],
    418,
  ),
)
app.post('/agents/event/*', async (c) => c.json({ ...(await event(c)), ageMs: 0, headers: c.req.header() }, 418))
app.post('/agents/stream/*', () => new Response(new Response('streamed').body, { status: 418 }))
app.get('/page', (c) => {
  c.header('x-before', '1')
  c.header('set-cookie', 'a=1')
  c.header('set-cookie', 'b=2', { append: true })
  return c.html('<p>é</p>')
})
app.get('/proxy', () => fetch(`${UPSTREAM}/teapot`, { method: 'POST', body: 'x' }))
app.get(
  '/binary',
  () => new Response(new Uint8Array([0, 255]), { headers: { 'content-type': 'application/octet-stream' } }),
)
app.use('/after', async (c, next) => {
  await next()
  c.header('x-after', 'yes')
  c.res = new Response(c.res.body, c.res)
})
app.get('/after', (c) => c.text('text', 201, { 'x-own': 'a' }))
app.get('/form', async (c) => c.json([...(await new Response(new URLSearchParams('a=1')).formData())]))
app.get('/echo', (c) => c.json([c.req.url, c.req.header(), c.req.method]))

export const overHttp = handle(app)
export const overStream = () => streamHandle(app)
export const upstash = (options: UpstashOptions) => createUpstash(options)

/** What is parked, with its reason, and what is to be tried again. */
export async function overSqs(notification: Notification, body: string): Promise<unknown> {
  const parked: Parked[] = []
  const lines: unknown[] = []
  const handler = fromSqs(app, {
    commit: async () => {},
    park: async (one) => void parked.push(one),
    postpone: async () => {},
    log: (line) => lines.push(line),
    timeoutMs: 500,
  })
  const record = {
    messageId: 'm',
    receiptHandle: 'r',
    body,
    attributes: { ApproximateReceiveCount: '1', MessageGroupId: '1' },
    eventSourceARN: 'arn:aws:sqs:us-east-1:0:q.fifo',
  }
  const answer = await handler({ Records: [record] })
  return {
    answer,
    parked: parked.map(({ reason, status }) => ({ reason, status })),
    lines: lines.map((line) => JSON.stringify(line).replace(/"stack":\[.*?\]/, '')),
    url: urlOf(notification),
  }
}

const urlOf = (notification: Notification): string | undefined => {
  try {
    return toRequest(notification).url
  } catch {
    return undefined
  }
}
