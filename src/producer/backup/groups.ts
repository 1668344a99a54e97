import type { Item } from './record.ts'

/** Packets that follow one another and go the same way. */
export type Group = { readonly transport: Item['transport']; readonly key: string; readonly wires: Item['wire'][] }

export function toGroups(items: readonly Item[]): Group[] {
  const groups: Group[] = []
  for (const { transport, key, wire } of items) {
    const last = groups.at(-1)
    if (last?.transport === transport && last.key === key) last.wires.push(wire)
    else groups.push({ transport, key, wires: [wire] })
  }
  return groups
}

/** The length of the list after each of the packets that were pushed together. */
export const lengthsOf = (count: number, length: number): number[] =>
  Array.from({ length: count }, (_, at) => length - count + 1 + at)
