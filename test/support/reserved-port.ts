import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

/**
 * A port on 127.0.0.1 that nobody else gets until it is released: servers may listen there, end, and come back; while none does,
 * connections are refused. It belongs to a connection that leaves from it: Linux then gives it to nobody who asks for any port, and
 * to whoever names it. Source: `inet_csk_bind_conflict` in net/ipv4/inet_connection_sock.c
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
