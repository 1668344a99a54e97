import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'redis'
import { nowMs, toPublished, type Published } from './load.ts'

/*
 * Publishes packets of agents at a steady rate, each with its time of publication. It is a separate process, so that no other work delays it.
 *
 * Environment: `REDIS_URL`, `TYPE` (`status` or `call`), `RATE` (per second), `COUNT`.
 */

const type = process.env['TYPE'] as Published
const rate = Number(process.env['RATE'])
const count = Number(process.env['COUNT'])
const client = await createClient({ url: process.env['REDIS_URL'] as string, RESP: 2 }).connect()
const startMs = nowMs()
const published: Promise<number>[] = []

while (published.length < count) {
  const due = Math.min(count, Math.floor(((nowMs() - startMs) / 1000) * rate) + 1)
  while (published.length < due) {
    const { ref, packet } = toPublished(type, published.length, nowMs())
    published.push(client.publish(`enigma:notifications:agents:${ref}`, packet))
  }
  await sleep(1)
}
await Promise.all(published)
client.destroy()
