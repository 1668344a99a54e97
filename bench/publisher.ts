import { createClient } from 'redis'

/**
 * Publishes agents/status at a steady rate, with the time of publishing inside: a process of its own, so that nothing else delays it.
 *
 * Environment: `REDIS_URL`, `RATE` (per second), `SECONDS`.
 */

const AGENTS = 200
const rate = Number(process.env['RATE'])
const total = rate * Number(process.env['SECONDS'])
const client = await createClient({ url: process.env['REDIS_URL'] as string, RESP: 2 }).connect()
const start = performance.now()

for (let sent = 0; sent < total; ) {
  const due = Math.min(total, Math.floor(((performance.now() - start) / 1000) * rate) + 1)
  for (; sent < due; sent++) {
    const ref = String(1000 + (sent % AGENTS))
    const payload = { ref, status: 'available', campaign_ref: '12', n: Math.floor(sent / AGENTS), t: performance.timeOrigin + performance.now() }
    void client.publish(`enigma:notifications:agents:${ref}`, JSON.stringify({ type: 'status', payload }))
  }
  await new Promise((resolve) => setTimeout(resolve, 1))
}
await client.ping()
client.destroy()
