import { createSchedule, type Schedule, type TimedPacket } from '../../src/simulator/schedule.ts'
import { readPacket, readPacketText, routePacket, type Routing } from '../../src/protocol/index.ts'
import { ROUTES } from './routes.ts'

export const START_MS = 1_764_000_000_000

export const scheduleOf = (agents: number, seed: number): Schedule =>
  createSchedule({ agents, seed, toUnixMs: (atMs) => START_MS + atMs })

/** Returns the packets of the first `ms` of virtual time, and the next one: the schedule has already advanced past it. */
export function takeUntil(schedule: Schedule, ms: number): TimedPacket[] {
  const packets = [schedule.next()]
  while ((packets.at(-1)?.atMs ?? 0) <= ms) packets.push(schedule.next())
  return packets
}

export type Seen = {
  readonly atMs: number
  readonly routing: Routing
  readonly fault: string | undefined
  readonly payload: Record<string, unknown>
}

/** Reads and routes a packet as the relay does. */
export function see({ atMs, outgoing: { key, packet } }: TimedPacket): Seen {
  const read =
    typeof packet === 'string'
      ? readPacketText(packet)
      : packet instanceof Uint8Array
        ? readPacket(packet)
        : readPacketText(JSON.stringify(packet))
  const payload = (read.packet?.payload ?? {}) as Record<string, unknown>
  return { atMs, routing: routePacket(ROUTES, key, read.packet?.type, read.fault), fault: read.fault, payload }
}

/** The payloads of a route, in order. */
export const payloadsOf = (seen: readonly Seen[], route: string) =>
  seen.filter(({ routing }) => routing.route.name === route).map(({ payload }) => payload)
