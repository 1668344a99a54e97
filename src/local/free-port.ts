import { once } from 'node:events'
import { createServer } from 'node:net'
import { StreetError } from './errors.ts'

/** A TCP port on 127.0.0.1 that was free a moment ago; `wanted` itself when it is free. */
export async function freePort(wanted = 0): Promise<number> {
  for (const port of wanted === 0 ? [0] : [wanted, 0]) {
    const server = createServer()
    server.listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
      const address = server.address()
      if (typeof address === 'object' && address !== null) return address.port
    } catch {
      // Taken: ask for any.
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  }
  throw new StreetError('dev.port.none_free', 'there is no free TCP port on 127.0.0.1')
}
