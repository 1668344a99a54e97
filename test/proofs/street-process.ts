import { readdir, readFile, readlink } from 'node:fs/promises'
import { createClient } from 'redis'
import { expect, onTestFinished } from 'vitest'
import { ROOT, start, type Running } from '../cli/run.ts'
import { useFolder, waitFor } from '../support/relay.ts'
import { useReservedPort } from '../support/reserved-port.ts'

/** The tokens of the users of the console. */
export const TOKENS = {
  jane: 'jane-operates-'.repeat(3),
  mark: 'mark-operates-'.repeat(3),
  bob: 'bob-reads-only-'.repeat(3),
}
export type Operator = keyof typeof TOKENS

export type StreetProcessOptions = {
  /** Handlers that fail, in the form of `--fail`: `agents-status=422`. Default: none. */
  readonly fail?: readonly string[]
  /** Further arguments of `npm run dev`. Default: no simulated call centre. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export type Packet = { readonly type: string; readonly payload: unknown }

type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> }

/**
 * `npm run dev` as a separate process: the dialler's Redis, the relay, SQS, the functions, the read model, the API and the console.
 * Its API keeps its address across restarts. All its processes end with the test.
 */
export async function useStreetProcess({ fail = [], args = ['--no-simulator'], env = {} }: StreetProcessOptions = {}) {
  const [folder, port] = [await useFolder(), await useReservedPort()]
  const url = `http://127.0.0.1:${port}`
  onTestFinished(async () => {
    for (const { pid } of await processesOf(folder)) kill(pid)
  })
  const runs: Running[] = []
  const startWith = async (faults: readonly string[], own: readonly string[]) => {
    const flags = ['--conditions=source', '--disable-warning=ExperimentalWarning', `${ROOT}src/cli/main.ts`, 'dev']
    const dev = start(process.execPath, [...flags, '--verbose', ...own, ...faults.flatMap((one) => ['--fail', one])], {
      env: {
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
        ENIGMA_DATA_DIR: folder,
        ENIGMA_API: `127.0.0.1:${port}`,
        ENIGMA_HTTP: '127.0.0.1:0',
        API_TOKENS: `jane:operate:${TOKENS.jane}\nmark:operate:${TOKENS.mark}\nbob:read:${TOKENS.bob}`,
        ...env,
      },
    })
    runs.push(dev)
    await dev.says(/^call centre +\w+/m)
    // If the port is in use, dev takes another one, and the test would look in the wrong place.
    expect(addressOf(dev, 'read API')).toBe(url)
    return dev
  }
  let dev = await startWith(fail, args)
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    dev.child.kill(signal)
    await dev.ended
  }
  onTestFinished(() => stop())

  const withDialler = async (work: (client: ReturnType<typeof toClient>) => Promise<unknown>): Promise<void> => {
    const client = toClient(addressOf(dev, "dialler's Redis"))
    client.on('error', () => undefined)
    await client.connect()
    try {
      await work(client)
    } finally {
      client.destroy()
    }
  }
  const ask = async (method: string, path: string, body?: unknown, who: Operator = 'jane'): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKENS[who]}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Answer['body'] }
  }
  const get = async (path: string): Promise<Answer['body']> => (await ask('GET', path)).body
  /** All pages of a list. */
  const list = async (path: string): Promise<readonly Answer['body'][]> => {
    const found: Answer['body'][] = []
    for (let cursor = ''; ;) {
      const { items, next } = await get(`${path}${path.includes('?') ? '&' : '?'}limit=500${cursor}`)
      found.push(...(items as readonly Answer['body'][]))
      if (typeof next !== 'string') return found
      cursor = `&cursor=${encodeURIComponent(next)}`
    }
  }
  return {
    url,
    folder,
    ask,
    get,
    list,
    stop,
    /** The output of all its runs. */
    output: () => runs.map((run) => run.output().stdout + run.output().stderr).join(''),
    sqsEndpoint: () => addressOf(dev, 'SQS'),
    /** Restarts it on the same data with these failing handlers. Default: none fails any more. */
    restart: async (faults: readonly string[] = [], own = args) => {
      await stop()
      dev = await startWith(faults, own)
    },
    /** Publishes each packet on its channel, such as `agents:1002`, as a dialler does. */
    publish: (packets: readonly (readonly [channel: string, packet: Packet | Uint8Array])[]) =>
      withDialler((client) =>
        Promise.all(
          packets.map(([channel, packet]) => client.publish(`enigma:notifications:${channel}`, toBytes(packet))),
        ),
      ),
    /** Pushes packets to a list: `campaigns`. */
    push: (key: string, packets: readonly Packet[]) =>
      withDialler((client) =>
        Promise.all(packets.map((packet) => client.lPush(`enigma:notifications:${key}`, toBytes(packet)))),
      ),
    /** Waits until this many messages are parked. */
    waitForParked: async (count: number, query = '') => {
      let last: unknown
      await waitFor(
        async () => (last = (await get(`/parked/groups${query}`))['matching']) === count,
        `${count} messages to be parked`,
        60_000,
      ).catch((cause: unknown) => {
        throw new Error(`${String(last)} of ${count} messages are parked`, { cause })
      })
    },
    /** The references of the parked messages, newest first. */
    parkedSubjects: async (query = '') => (await list(`/parked${query}`)).map(({ subject }) => String(subject)),
    processes: () => processesOf(folder),
  }
}

export type StreetProcess = Awaited<ReturnType<typeof useStreetProcess>>

const toClient = (url: string) => createClient({ url, RESP: 2 })

const toBytes = (packet: Packet | Uint8Array): Buffer =>
  Buffer.from(packet instanceof Uint8Array ? packet : JSON.stringify(packet))

function addressOf(dev: Running, part: string): string {
  const [, address = ''] = new RegExp(`^${part} +(\\S+)`, 'm').exec(dev.output().stdout) ?? []
  return address
}

export type Process = { readonly pid: number; readonly cwd: string; readonly environment: string }

/** Finds the processes of a street: its folder is in their environment, or is their working directory. */
async function processesOf(folder: string): Promise<readonly Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  const all = await Promise.all(
    pids.map(async (pid): Promise<Process> => {
      const [environment, cwd] = await Promise.all([
        readFile(`/proc/${pid}/environ`, 'utf8').catch(() => ''),
        readlink(`/proc/${pid}/cwd`).catch(() => ''),
      ])
      return { pid: Number(pid), cwd, environment }
    }),
  )
  return all.filter(({ environment, cwd }) => environment.includes(folder) || cwd.startsWith(folder))
}

/** Kills a process. Returns whether it existed. */
export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
