/** Why a notification is parked that no message of the queue can hold. */
export const tooLarge = (maxBytes: number, queue: string): string =>
  `more than the ${maxBytes} bytes of ${queue}, also when gzipped`

const WORDS = /^more than the \d+ bytes of [\w.-]+, also when gzipped$/

/** Whether these are the relay's own words: nothing in them is personal, and their figures are of use. */
export const isTooLarge = (detail: string): boolean => WORDS.test(detail)
