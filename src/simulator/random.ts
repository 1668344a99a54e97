/** Says that the simulator cannot play with these options; the message says why. */
export class SimulatorError extends Error {
  override readonly name = 'SimulatorError'
  readonly code = 'dev.simulator.invalid'
}

/** A 32-bit hash (the finaliser of MurmurHash3): neighbouring numbers come out unlike each other. */
export function mix(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** Randomness that is the same for the same seed, which may be any number: sfc32. Source: PractRand, http://pracrand.sourceforge.net/ */
export function createRandom(seed: number) {
  let [a, b, c, counter] = [mix(seed), mix(Math.floor(seed / 2 ** 32) ^ 0x9e3779b9), mix(seed ^ 0x243f6a88), 1]
  const next = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }
  // The first numbers of near seeds resemble each other.
  for (let round = 0; round < 16; round++) next()
  const between = (min: number, max: number) => min + next() * (max - min)
  return {
    /** In [0, 1). */
    next,
    /** In [min, max). */
    between,
    /** A whole number in [min, max], both included. */
    whole: (min: number, max: number): number => min + Math.floor(next() * (max - min + 1)),
    chance: (probability: number): boolean => next() < probability,
    pick: <T>(items: readonly T[]): T => {
      if (items.length === 0) throw new SimulatorError('there is nothing to pick from')
      return items[Math.floor(next() * items.length)] as T
    },
    /** Around `median`, with a long tail to the right, never over `max`. The sum of four is near enough to a bell. */
    skewed: (median: number, sigma: number, max: number): number =>
      Math.min(max, median * Math.exp(sigma * (next() + next() + next() + next() - 2) * Math.sqrt(3))),
    /** The wait until the next of events that come at random, `mean` apart. */
    wait: (mean: number): number => -Math.log(1 - next()) * mean,
  }
}

export type Random = ReturnType<typeof createRandom>
