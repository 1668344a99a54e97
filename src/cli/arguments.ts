import { InvalidArgumentError } from 'commander'

/** Reads an argument as a whole number of at least `least`. @throws InvalidArgumentError, which commander prints with the option's name. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
    }
    return value
  }
}

/** Reads an argument as a number above 0 and up to `most`. */
export function positiveNumber(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d*\.?\d+$/.test(text) || !(value > 0) || value > most) {
      throw new InvalidArgumentError(`It must be a number above 0 and at most ${most}.`)
    }
    return value
  }
}

/** Reads an argument as the address of a Redis server. */
export function redisUrl(text: string): string {
  if (/^rediss?:\/\/\S+$/.test(text) && URL.canParse(text)) return text
  throw new InvalidArgumentError('It must be a redis:// or rediss:// URL, such as redis://127.0.0.1:8001.')
}
