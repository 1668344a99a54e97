import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** The size of the pieces in which a connection sends over a slow uplink. */
const PIECE_BYTES = 4 * 1024

/**
 * Starts a TCP proxy on 127.0.0.1 in front of a local port. It simulates network faults: it drops answers, delays data, cuts a connection in
 * the middle of an answer, and goes half-open. `retarget` changes its target; `listenPort` lets a proxy restart on its previous port.
 */
export async function startProxy(firstPort: number, listenPort = 0) {
  let targetPort = firstPort
  const pairs = new Set<{ readonly client: Socket; readonly target: Socket }>()
  const state = {
    /** Answers of the target are dropped. Data from clients still arrives. */
    holdAnswers: false,
    /** New connections are closed at once. */
    refuse: false,
    /** Data vanishes in both directions, without a reset. A connection that loses data never recovers. */
    halfOpen: false,
    /** The delay (ms) of all data, in each direction. */
    delayMs: 0,
    /** Each connection is cut when it has carried this many bytes of answers: usually in the middle of an answer. */
    cutAfterBytes: undefined as number | undefined,
    /**
     * A fault for the connection on which a client sends `words`. `cut`: it is cut. `vanish`: it goes half-open permanently. `late`: it goes
     * half-open too, but the data that the client sends from then on reaches the target at `deliver`, after the client has given up.
     */
    failAt: undefined as { readonly words: string; readonly how: 'cut' | 'vanish' | 'late' } | undefined,
    /** The bandwidth (bytes/s) that the data of all clients shares: a slow uplink. */
    uplinkBytesPerSecond: undefined as number | undefined,
    /** The number of bytes from clients that the slow uplink has carried. */
    sentBytes: 0,
    /** How often `failAt` has matched. */
    failures: 0,
  }
  const late: (() => void)[] = []
  /** When (ms) the uplink will have sent all data that it accepted. */
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
    /** Sends data piece by piece, so that connections share the uplink. Drops the rest when the client disconnects. */
    const squeeze = async (chunk: Buffer): Promise<void> => {
      // Pausing leaves further data in the client's own buffers, as a slow network does.
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
    /** Delivers the data that `late` has held back. Returns the number of chunks. */
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
