import { serve } from '@hono/node-server'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import { expect, onTestFinished, test } from 'vitest'
import { createHttpPush } from '../../examples/http-push.ts'
import { useStore } from '../support/store.ts'

const SECRET = `whsec_${Buffer.from('a secret of thirty-two bytes ....').toString('base64')}`

// Hono's server can replace Node's Request and Response. If it does not, its requests are not instances of Node's Request.
test.each([false, true])(
  'a signed CloudEvent over HTTP reaches the read model; an unsigned one and a changed one do not (classes of the server: %s)',
  async (overrideGlobalObjects) => {
    const { store } = await useStore()
    const server = serve({
      fetch: createHttpPush({ secret: SECRET, commit: store.commit }),
      hostname: '127.0.0.1',
      port: 0,
      overrideGlobalObjects,
    })
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const now = new Date()
    const body = JSON.stringify({ type: 'status', payload: { ref: '1002', status: 'busy', campaign_ref: '7' } })
    const id = 'main/p/1769846400000/17'
    const headers = {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/enigma/main',
      'ce-type': 'enigma.agents.status',
      'ce-subject': '1002',
      'ce-time': now.toISOString(),
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(SECRET).sign(id, now, body),
    }
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/agents/status/1002`
    const post = async (own: Record<string, string>, text = body) =>
      (await fetch(url, { method: 'POST', headers: { ...headers, ...own }, body: text })).status
    expect(await post({ 'webhook-signature': '' })).toBe(401)
    expect(await post({}, body.replace('busy', 'offline'))).toBe(401)
    expect(await store.read.agent('1002')).toBeNull()
    expect(await post({})).toBe(204)
    expect(await store.read.agent('1002')).toMatchObject({ states: [{ status: 'busy' }] })
  },
)
