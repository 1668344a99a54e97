import { formatPacket, parseEvents } from '../../src/protocol/index.ts'
import { toItem, type Item, type Acknowledger } from '../../src/relay/item.ts'
import { stamp } from './routes.ts'

/** Creates an acknowledger that records settled and parked notifications, and attempts, by id and in order. */
export function createAcknowledger() {
  const settled: string[] = []
  const parked: { id: string; reason: string; detail: string }[] = []
  const attempts: { id: string; attempt: number }[] = []
  const acknowledger: Acknowledger = {
    settle: (item) => void settled.push(item.id),
    park: (item, reason, detail) => {
      parked.push({ id: item.id, reason, detail })
      return Promise.resolve()
    },
    keepAttempt: ({ id, attempt }) => void attempts.push({ id, attempt }),
  }
  return { acknowledger, settled, parked, attempts }
}

/** Creates an item of agents/status: the `n`th of agent `reference`. */
export function makeItem(
  acknowledger: Acknowledger,
  reference: string,
  n: number,
  more: Record<string, unknown> = {},
): Item {
  const packet = formatPacket({ type: 'status', payload: { ref: reference, status: 'busy', n, ...more } })
  const channel = `enigma:notifications:agents:${reference}`
  const received = {
    sourceId: 'main',
    transport: 'pubsub' as const,
    channel,
    number: 1_000 + Number(reference),
    index: n,
    timeMs: 1_764_000_000_000,
  }
  return toItem(stamp(Buffer.from(packet), received), acknowledger, n)
}

/** Returns each `n` in a message body, with its agent. */
export function readNumbers(body: string): { reference: string; n: number }[] {
  return parseEvents(body).map((event) => ({
    reference: event.subject ?? '',
    n: (JSON.parse(String(event.data)) as { payload: { n: number } }).payload.n,
  }))
}
