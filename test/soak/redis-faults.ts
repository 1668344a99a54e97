import { sleep } from '../../src/runtime/index.ts'
import { insist } from './dialler-redis.ts'
import type { FaultOf } from './run-faults.ts'
import { LIST_OF } from './packets.ts'
import type { Street } from './street.ts'

const CUT_PAUSE_MS = 150

/** Replaces a list with a string for a while. Its items are kept under another key meanwhile. */
const SET_ASIDE = `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
redis.call('SET', KEYS[1], 'a text')
`
const PUT_BACK = `
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[1]) end
`

/** Stops the server and restarts it with its data. */
const restart =
  (signal: NodeJS.Signals): FaultOf =>
  async ({ redis }, { lastsMs }) => {
    await redis.end(signal)
    await sleep(lastsMs)
    await redis.start()
  }

/** Sets a fault of the proxy for the duration of the fault. */
const throughProxy =
  (set: (state: Street['redis']['proxy']['state'], on: boolean) => void, cuts: 'before' | 'after' | 'never'): FaultOf =>
  async ({ redis: { proxy } }, { lastsMs }) => {
    set(proxy.state, true)
    if (cuts === 'before') proxy.cut()
    await sleep(lastsMs)
    set(proxy.state, false)
    if (cuts === 'after') proxy.cut()
  }

export const redisFaults = {
  'redis-cut': async ({ redis: { proxy } }) => proxy.cut(),
  'redis-refuse': throughProxy((state, on) => (state.refuse = on), 'before'),
  // Cutting the connections drops delayed data, which must not arrive after data that is sent later.
  'redis-delay': throughProxy((state, on) => (state.delayMs = on ? 150 : 0), 'after'),
  'redis-half-open': throughProxy((state, on) => (state.halfOpen = on), 'never'),
  'redis-truncate': async ({ redis: { proxy } }, { lastsMs }, random) => {
    const endMs = performance.now() + lastsMs
    while (performance.now() < endMs) {
      proxy.state.cutAfterBytes = Math.round(10 ** random.between(1.5, 5.2))
      await sleep(CUT_PAUSE_MS)
    }
    proxy.state.cutAfterBytes = undefined
    proxy.cut()
  },
  'redis-kill': restart('SIGKILL'),
  'redis-term': restart('SIGTERM'),
  'redis-wrong-type': async ({ client }, { lastsMs }, random, signal) => {
    const list = LIST_OF[random.pick(['main', 'shared'] as const)]
    const run = (script: string) => insist(signal, () => client.eval(script, { keys: [list, `soak:aside:${list}`] }))
    await run(SET_ASIDE)
    await sleep(lastsMs)
    await run(PUT_BACK)
  },
  // A replica keeps its data while its primary cannot be reached.
  'redis-read-only': async ({ client }, { lastsMs }, _random, signal) => {
    await insist(signal, () => client.sendCommand(['REPLICAOF', '127.0.0.1', '1']))
    await sleep(lastsMs)
    await insist(signal, () => client.sendCommand(['REPLICAOF', 'NO', 'ONE']))
  },
  'redis-full': async ({ client }, { lastsMs }, _random, signal) => {
    const used = Number(/used_memory:(\d+)/.exec(await insist(signal, () => client.info('memory')))?.[1])
    await insist(signal, () => client.configSet('maxmemory', String(Math.max(1, used - 100_000))))
    await sleep(lastsMs)
    await insist(signal, () => client.configSet('maxmemory', '0'))
  },
} satisfies Record<string, FaultOf>
