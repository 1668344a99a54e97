import { PGlite } from '@electric-sql/pglite'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

/** Starts a real Postgres (PGlite) behind a TCP port. Statements of all connections run one after the other. */
export async function startPostgres() {
  const db = await PGlite.create()
  const sockets = new Set<Socket>()
  let turn: Promise<unknown> = Promise.resolve()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    void serve(socket, (messages) => {
      const answer = turn.then(() => db.execProtocolRaw(messages))
      turn = answer.catch(() => undefined)
      return answer
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    db,
    url: `postgres://test:test@127.0.0.1:${port}/postgres`,
    /** Cuts all connections, and refuses new ones until `start`. */
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
    start: async () => {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await db.close()
    },
  }
}

/** AuthenticationOk and ReadyForQuery. Source: "Message Formats" in the PostgreSQL documentation. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])
const [SYNC, QUERY, TERMINATE] = ['S', 'Q', 'X'].map((letter) => letter.charCodeAt(0))

/** Collects messages until one that requires a reply (Sync or Query), runs them together, and replies. */
async function serve(socket: Socket, run: (messages: Uint8Array) => Promise<Uint8Array>): Promise<void> {
  let left = Buffer.alloc(0)
  let isWelcome = false
  let end = 0
  try {
    for await (const chunk of socket) {
      left = Buffer.concat([left, chunk as Buffer])
      for (;;) {
        // The startup message has no type byte before its length.
        const letters = isWelcome ? 1 : 0
        if (left.length < end + letters + 4) break
        const next = end + letters + left.readUInt32BE(end + letters)
        if (left.length < next) break
        const type = left[end]
        end = next
        if (isWelcome && type === TERMINATE) return void socket.end()
        if (isWelcome && type !== SYNC && type !== QUERY) continue
        socket.write(isWelcome ? await run(left.subarray(0, end)) : WELCOME)
        isWelcome = true
        left = left.subarray(end)
        end = 0
      }
    }
  } catch {
    socket.destroy()
  }
}
