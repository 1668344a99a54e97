import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** So much of a connection is on a slow uplink at once. */
const PIECE_BYTES = 4 * 1024

/**
 * A TCP proxy on 127.0.0.1 in front of a local port, that makes the faults of a network: it holds back answers, delays, cuts in the
 * middle of an answer, goes half-open, and changes its target. `listenPort` is for one that comes back where it was.
 */
export async function startProxy(firstPort: number, listenPort = 0) {
  let targetPort = firstPort
  const pairs = new Set<{ readonly client: Socket; readonly target: Socket }>()
  const state = {
    /** What the target answers is thrown away; what clients send still arrives. */
    holdAnswers: false,
    /** New connections are closed at once. */
    refuse: false,
    /** Packets vanish in both directions, without a reset: nobody is told anything. Connections that go through this never heal. */
    halfOpen: false,
    /** Everything is this late (ms), in each direction. */
    delayMs: 0,
    /** After this many more bytes of answers each connection is cut, in the middle of an answer as a rule. */
    cutAfterBytes: undefined as number | undefined,
    /**
     * The connection on which a client sends this is cut then, or goes half-open for good, or what it sends from there on is under way
     * until `deliver`, which is after the client has given up.
     */
    failAt: undefined as { readonly words: string; readonly how: 'cut' | 'vanish' | 'late' } | undefined,
    /** So much (bytes/s) of what clients send gets through, of all connections together: a slow uplink. */
    uplinkBytesPerSecond: undefined as number | undefined,
    /** How many bytes of clients got through. */
    sentBytes: 0,
    /** How many times that has happened. */
    failures: 0,
  }
  const late: (() => void)[] = []
  /** When (ms) the uplink has sent all that it was given. */
  let uplinkFreeMs = 0
  const server = createServer((client) => {
    if (state.refuse) return void client.destroy()
    const target = connect(targetPort, '127.0.0.1')
    const pair = { client, target }
    let isLost = false
    let isLate = false
    let answered = 0
    pairs.add(pair)
    const end = () => {
      if (isLost) return
      pairs.delete(pair)
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) socket.on('error', end).on('close', end)
    const pass = (to: Socket, chunk: Buffer) => {
      if (state.delayMs === 0) to.write(chunk)
      else setTimeout(() => void (to.destroyed || to.write(chunk)), state.delayMs)
    }
    /** Piece by piece, so that connections share the uplink; what a client has not got through when it gives up is gone. */
    const squeeze = async (chunk: Buffer): Promise<void> => {
      // Not read on before that: what the client writes waits in its own buffers then.
      client.pause()
      for (let from = 0; from < chunk.length && !client.destroyed; from += PIECE_BYTES) {
        const piece = chunk.subarray(from, from + PIECE_BYTES)
        uplinkFreeMs =
          Math.max(performance.now(), uplinkFreeMs) + (piece.length / (state.uplinkBytesPerSecond ?? Infinity)) * 1000
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, uplinkFreeMs - performance.now())))
        state.sentBytes += piece.length
        if (!target.destroyed) target.write(piece)
      }
      client.resume()
    }
    const vanishes = () => (isLost ||= state.halfOpen)
    client.on('data', (chunk) => {
      const failure = state.failAt !== undefined && chunk.includes(state.failAt.words) ? state.failAt.how : undefined
      if (failure !== undefined) state.failures++
      if (failure === 'cut') return end()
      isLost ||= failure === 'vanish' || failure === 'late'
      isLate ||= failure === 'late'
      if (isLate) late.push(() => target.write(chunk))
      if (vanishes()) return
      if (state.uplinkBytesPerSecond === undefined) pass(target, chunk)
      else void squeeze(chunk)
    })
    target.on('data', (chunk) => {
      if (vanishes() || state.holdAnswers) return
      const left = state.cutAfterBytes === undefined ? undefined : state.cutAfterBytes - answered
      answered += chunk.length
      if (left === undefined || chunk.length < left) return pass(client, chunk)
      client.write(chunk.subarray(0, Math.max(0, left)), end)
    })
  })
  const cut = () => {
    for (const { client, target } of pairs) {
      client.destroy()
      target.destroy()
    }
  }
  await new Promise<void>((resolve) => server.listen(listenPort, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    state,
    /** Cuts all connections. */
    cut,
    /** What was under way reaches the target now. */
    deliver: (): number => late.splice(0).map((write) => write()).length,
    retarget: (to: number): void => {
      targetPort = to
    },
    stop: async (): Promise<void> => {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export type Proxy = Awaited<ReturnType<typeof startProxy>>

/** The same, stopped when the test ends. */
export async function useProxy(port: number): Promise<Proxy> {
  const proxy = await startProxy(port)
  onTestFinished(() => proxy.stop())
  return proxy
}
