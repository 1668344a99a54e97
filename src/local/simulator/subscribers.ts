import { mix } from './random.ts'

/** Somebody to be called: made up, but always the same for the same list and place in it. */
export type Subscriber = {
  readonly contactRef: string
  /** One or two numbers, tried one after the other. South African mobile numbers by their form. */
  readonly numbers: readonly [string, string?]
}

const mobile = (hash: number) => `2782${String(hash % 10_000_000).padStart(7, '0')}`

/** The subscriber at a place of a calling list. Nothing is kept: a list of a million costs no memory. */
export function subscriberAt(list: number, place: number): Subscriber {
  const hash = mix(Math.imul(list, 0x9e3779b1) ^ place)
  const contactRef = `C${String(list).padStart(3, '0')}${String(place).padStart(7, '0')}`
  return { contactRef, numbers: hash % 4 === 0 ? [mobile(hash), mobile(mix(hash))] : [mobile(hash)] }
}

/** As the dialler dials it: the national form. */
export function toDialNumber(number: string): string {
  return number.startsWith('27') ? `0${number.slice(2)}` : number
}
