import { Hono } from 'hono'
import { serveApp } from './http-server.ts'

const TYPE = { 'content-type': 'application/x-amz-json-1.1' }

/** How every request is to be answered. */
type Fault = { readonly status: number; readonly code: string }

/**
 * Parameter Store of AWS Systems Manager, as far as functions ask it: answers GetParameters on 127.0.0.1, encrypted values only when they are
 * asked for decrypted, as SecureString needs it, and only to a signed request. Source: the Systems Manager API reference.
 */
export async function startParameterStore(given: Readonly<Record<string, string>> = {}) {
  /** By name; may be changed at any time. */
  const values = new Map(Object.entries(given))
  /** How many requests there were. */
  const seen = { requests: 0 }
  const app = new Hono()
  app.post('/', async (c) => {
    seen.requests++
    const refuse = (status: number, code: string, message: string) =>
      c.body(JSON.stringify({ __type: code, message }), status as 400, TYPE)
    if (store.fault !== undefined) return refuse(store.fault.status, store.fault.code, 'as was wanted')
    if (
      !/^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/[^/]+\/ssm\/aws4_request, /.test(c.req.header('authorization') ?? '')
    ) {
      return refuse(400, 'MissingAuthenticationTokenException', 'Missing Authentication Token')
    }
    if (c.req.header('x-amz-target') !== 'AmazonSSM.GetParameters') return refuse(400, 'UnknownOperationException', '')
    const { Names = [], WithDecryption } = await c.req.json<{ Names?: readonly string[]; WithDecryption?: boolean }>()
    if (Names.length === 0 || Names.length > 10)
      return refuse(400, 'ValidationException', 'Member must have length between 1 and 10')
    const Parameters = Names.filter((Name) => values.has(Name)).map((Name) => ({
      Name,
      Type: 'SecureString',
      Value: WithDecryption === true ? values.get(Name) : Buffer.from('encrypted').toString('base64'),
    }))
    const InvalidParameters = Names.filter((Name) => !values.has(Name))
    return c.body(JSON.stringify({ Parameters, InvalidParameters }), 200, TYPE)
  })
  const { url, stop } = await serveApp(app)
  const store = { url: `${url}/`, values, seen, fault: undefined as Fault | undefined, stop }
  return store
}
