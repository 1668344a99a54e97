import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/**
 * Reserves a port on 127.0.0.1 until it is released. Servers can start, stop and restart on it; while none listens, connections are refused.
 * The port is the local port of an open connection. Linux does not assign such a port to a process that asks for any free port, but a server
 * can still bind it explicitly. Source: `inet_csk_bind_conflict` in net/ipv4/inet_connection_sock.c
 */
export async function reservePort() {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const holder = connect({ host: '127.0.0.1', port: (other.address() as AddressInfo).port, localAddress: '127.0.0.1' })
  await once(holder, 'connect')
  return {
    port: holder.localPort as number,
    release: (): void => {
      holder.destroy()
      other.close()
    },
  }
}

/** The same, released when the test ends. */
export async function useReservedPort(): Promise<number> {
  const { port, release } = await reservePort()
  onTestFinished(release)
  return port
}
