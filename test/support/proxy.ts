import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A TCP proxy on 127.0.0.1 in front of a local port, that can hold back answers, cut connections and change its target. */
export async function useProxy(firstPort: number) {
  let targetPort = firstPort
  const pairs = new Set<{ readonly client: Socket; readonly target: Socket }>()
  const state = {
    /** What the target answers is thrown away; what clients send still arrives. */
    holdAnswers: false,
    /** New connections are closed at once. */
    refuse: false,
  }
  const server = createServer((client) => {
    if (state.refuse) return void client.destroy()
    const target = connect(targetPort, '127.0.0.1')
    const pair = { client, target }
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) socket.on('error', end).on('close', end)
    client.on('data', (chunk) => void target.write(chunk))
    target.on('data', (chunk) => {
      if (!state.holdAnswers) client.write(chunk)
    })
  })
  const cut = () => {
    for (const { client, target } of pairs) {
      client.destroy()
      target.destroy()
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    cut()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const retarget = (port: number) => {
    targetPort = port
  }
  return { port, state, cut, retarget }
}
