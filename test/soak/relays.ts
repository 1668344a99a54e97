import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sleep } from '../../src/runtime/index.ts'
import { spawnRelay } from '../support/relay-process.ts'
import type { Broken } from './broken.ts'
import { LIST_OF, NUMBER_PREFIX } from './packets.ts'

export type RelaysOptions = {
  readonly redisPort: number
  readonly endpoint: string
  /** The settings of the HTTP target. */
  readonly env: Readonly<Record<string, string>>
  readonly folder: string
  readonly broken: Broken
}

export type RelayName = 'first' | 'second'

/** Both relays take the list `cdr`. Only the first takes the other list and subscribes, so that one relay alone determines their order. */
const SETTINGS = {
  first: { lists: [LIST_OF.main, LIST_OF.shared] },
  second: { lists: [LIST_OF.shared], channels: ['none'] },
} as const

const MIB = 1024 * 1024
/** After SIGTERM, a relay waits ten seconds for packs in flight. The rest is a margin for a slow machine. */
const TERM_MS = 25_000
const SAMPLE_MS = 200

type Life = ReturnType<typeof spawnRelay> & {
  readonly name: RelayName
  readonly spawnedMs: number
  readyMs: number | undefined
  cpuMs: number
  isEnding: boolean
  hasSpoken: boolean
}

/** Runs the relays of a soak as processes. Watches their memory, CPU and unexpected exits, and checks their logs for personal data. */
export function createRelays({ redisPort, endpoint, env, folder, broken }: RelaysOptions) {
  const alive = new Map<RelayName, Life>()
  const figures = {
    starts: 0,
    kills: 0,
    terms: 0,
    mostRssMb: 0,
    /** When (unix ms) that maximum occurred. `mostRssAgeMs`: how long (ms) after the start of that relay. */
    mostRssMs: 0,
    mostRssAgeMs: 0,
    cpuMs: 0,
    gapsLogged: 0,
    logged: new Map<string, number>(),
  }
  /** When (unix ms) a relay adopted claims. */
  const adoptions: number[] = []

  const readLines = (life: Life) => {
    for (const line of life.lines.splice(0)) {
      life.hasSpoken = true
      if (JSON.stringify(line).includes(NUMBER_PREFIX))
        broken.add('privacy', `the log of the ${life.name} relay shows a number: ${String(line['code'])}`)
      if (line['code'] === 'relay.claims.adopted') adoptions.push(Date.now())
      if (line['code'] === 'relay.pubsub.gap') figures.gapsLogged++
      if (Number(line['level']) >= 40) {
        const code = String(line['code'])
        figures.logged.set(code, (figures.logged.get(code) ?? 0) + 1)
      }
    }
  }
  const measure = (life: Life) => {
    try {
      const status = readFileSync(`/proc/${life.pid}/status`, 'utf8')
      const rssMb = (Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024) / MIB
      const nowMs = Date.now()
      if (rssMb > figures.mostRssMb)
        Object.assign(figures, { mostRssMb: rssMb, mostRssMs: nowMs, mostRssAgeMs: nowMs - life.spawnedMs })
      // Fields 14 and 15, in ticks of 10 ms. Source: proc(5).
      const fields = readFileSync(`/proc/${life.pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      life.cpuMs = (Number(fields[11]) + Number(fields[12])) * 10
    } catch {
      // The relay has just ended, or this machine has no /proc.
    }
  }
  const forget = (life: Life) => {
    readLines(life)
    figures.cpuMs += life.cpuMs
    life.cpuMs = 0
    if (alive.get(life.name) === life) alive.delete(life.name)
  }
  const timer = setInterval(() => {
    for (const life of alive.values()) {
      measure(life)
      readLines(life)
    }
  }, SAMPLE_MS)

  // Faults may delay readiness for any time, so this repeats until the relay is ready. Callers that need a ready relay wait for `readyMs`.
  const watchReady = async (life: Life) => {
    while (life.readyMs === undefined && life.isRunning())
      await life.ready().then(
        () => (life.readyMs = Date.now()),
        () => sleep(SAMPLE_MS),
      )
  }

  const start = async (name: RelayName): Promise<void> => {
    const dataDir = join(folder, name)
    await mkdir(dataDir, { recursive: true })
    const relay = spawnRelay({
      redisUrl: `redis://127.0.0.1:${redisPort}`,
      endpoint,
      dataDir,
      ...SETTINGS[name],
      env: { ...env, ENIGMA_RELAY_ID: name },
    })
    const life: Life = Object.assign(relay, {
      name,
      spawnedMs: Date.now(),
      readyMs: undefined,
      cpuMs: 0,
      isEnding: false,
      hasSpoken: false,
    })
    alive.set(name, life)
    figures.starts++
    void watchReady(life)
    void life.exited.then(({ code, signal, errors }) => {
      if (!life.isEnding)
        broken.add(
          'the relay runs',
          `the ${name} relay ended by itself: code ${code}, signal ${signal}, ${errors.slice(-1_000)}`,
        )
      forget(life)
    })
  }

  return {
    figures,
    adoptions,
    start,
    get: (name: RelayName): Life | undefined => alive.get(name),
    async kill(name: RelayName): Promise<void> {
      const life = alive.get(name)
      if (life === undefined) return
      measure(life)
      life.isEnding = true
      figures.kills++
      await life.kill('SIGKILL')
    },
    async term(name: RelayName): Promise<void> {
      const life = alive.get(name)
      if (life === undefined) return
      measure(life)
      life.isEnding = true
      figures.terms++
      const killTimer = setTimeout(() => {
        broken.add('SIGTERM', `the ${name} relay did not end within ${TERM_MS} ms`)
        void life.kill('SIGKILL')
      }, TERM_MS)
      const { code, errors } = await life.kill('SIGTERM')
      clearTimeout(killTimer)
      readLines(life)
      // A relay that has logged nothing yet may not have installed its signal handler.
      if (code !== 0 && life.hasSpoken)
        broken.add('SIGTERM', `the ${name} relay ended with ${code}: ${errors.slice(-1_000)}`)
    },
    async stop(): Promise<void> {
      clearInterval(timer)
      for (const life of alive.values()) {
        measure(life)
        life.isEnding = true
        await life.kill('SIGKILL')
      }
    },
  }
}

export type Relays = ReturnType<typeof createRelays>
