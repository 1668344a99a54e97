import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** Parameter Store of AWS Systems Manager, as far as functions ask it. */
export type ParameterStore = {
  readonly url: string
  /** By name; may be changed at any time. */
  readonly values: Map<string, string>
  /** How many requests there were. */
  readonly seen: { requests: number }
  /** When set, every request is answered so. */
  fault: { readonly status: number; readonly code: string } | undefined
  stop: () => Promise<void>
}

type Question = { readonly Names?: readonly string[]; readonly WithDecryption?: boolean }

/**
 * Answers GetParameters on 127.0.0.1: encrypted values only when they are asked for decrypted, as SecureString needs it, and only to a
 * signed request. Source: the Systems Manager API reference.
 */
export async function startParameterStore(values: Readonly<Record<string, string>> = {}): Promise<ParameterStore> {
  const held = new Map(Object.entries(values))
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
    const { Names = [], WithDecryption } = await c.req.json<Question>()
    if (Names.length === 0 || Names.length > 10)
      return refuse(400, 'ValidationException', 'Member must have length between 1 and 10')
    const Parameters = Names.filter((Name) => held.has(Name)).map((Name) => ({
      Name,
      Type: 'SecureString',
      Value: WithDecryption === true ? held.get(Name) : Buffer.from('encrypted').toString('base64'),
    }))
    return c.body(JSON.stringify({ Parameters, InvalidParameters: Names.filter((Name) => !held.has(Name)) }), 200, TYPE)
  })
  const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0, overrideGlobalObjects: false })
  await once(server, 'listening')
  const store: ParameterStore = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    values: held,
    seen,
    fault: undefined,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      }),
  }
  return store
}

const TYPE = { 'content-type': 'application/x-amz-json-1.1' }
