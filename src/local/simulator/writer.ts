import { ProducerError, type Producer } from '../../producer/index.ts'
import type { TimedPacket } from './schedule.ts'

/** What has been written. */
export type SimulatorCounters = {
  /** Packets that Redis took by PUBLISH, heard by anybody or not. */
  published: number
  /** Packets that Redis took by LPUSH. */
  pushed: number
  /** Packets for PubSub that Redis did not take: gone, as with a real dialler. */
  lost: number
  /** Packets for lists that Redis has not taken yet: pushed when it takes again. */
  kept: number
}

export type WriterOptions = {
  readonly producer: Producer
  readonly onEvent?: ((event: TimedPacket) => void) | undefined
}

/** Writes packets, and keeps what is for a list while Redis does not take it, as the dialler keeps its backup files. */
export type Writer = {
  readonly counters: SimulatorCounters
  /** Resolves when each is taken, lost or kept. @throws ProducerError when Redis takes nothing at the very first time. */
  write: (packets: readonly TimedPacket[]) => Promise<void>
}

export function createWriter({ producer, onEvent }: WriterOptions): Writer {
  const counters: SimulatorCounters = { published: 0, pushed: 0, lost: 0, kept: 0 }
  let kept: TimedPacket[] = []
  let everTaken = false

  const taken = (event: TimedPacket) => {
    everTaken = true
    if (event.outgoing.transport === 'pubsub') counters.published++
    else counters.pushed++
    onEvent?.(event)
  }

  const refused = (event: TimedPacket, error: unknown) => {
    if (!everTaken || !(error instanceof ProducerError) || error.code !== 'producer.write.not_taken') throw error
    if (event.outgoing.transport === 'list') kept.push(event)
    else counters.lost++
  }

  /** Pushes what was kept; false when Redis still does not take it. */
  const pushKept = async (): Promise<boolean> => {
    for (const [key, events] of Map.groupBy(kept, (event) => event.outgoing.key)) {
      const count = await producer
        .pushAll(
          key,
          events.map(({ outgoing }) => outgoing.packet),
        )
        .then(
          () => events.length,
          (error: unknown) => {
            if (error instanceof ProducerError && error.code === 'producer.write.not_taken') return error.taken
            throw error
          },
        )
      const gone = new Set(events.slice(0, count))
      kept = kept.filter((event) => !gone.has(event))
      for (const event of gone) taken(event)
      if (count < events.length) return false
    }
    return true
  }

  const write = async (packets: readonly TimedPacket[]) => {
    const takes = kept.length === 0 || (await pushKept())
    const results = packets.map(async (event) => {
      // Behind what is kept: a list keeps its order.
      if (!takes && event.outgoing.transport === 'list') return void kept.push(event)
      try {
        await producer.send(event.outgoing)
      } catch (error) {
        return refused(event, error)
      }
      taken(event)
    })
    await Promise.all(results)
    counters.kept = kept.length
  }

  return { counters, write }
}
