/** Reports an option that the simulator cannot use, or a fault of the simulator itself. */
export class SimulatorError extends Error {
  override readonly name = 'SimulatorError'
  readonly code = 'dev.simulator.invalid'
}

/** Returns a 32-bit hash (the finaliser of MurmurHash3). Neighbouring numbers get unrelated hashes. */
export function mix(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** Creates a generator of random numbers (sfc32). The same seed, which may be any number, gives the same numbers. Source: PractRand, http://pracrand.sourceforge.net/ */
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
  // The first numbers of similar seeds are similar too, so they are skipped.
  for (let round = 0; round < 16; round++) next()
  const between = (min: number, max: number) => min + next() * (max - min)
  return {
    /** Returns a number in [0, 1). */
    next,
    /** Returns a number in [min, max). */
    between,
    /** Returns a whole number from min to max, both included. */
    whole: (min: number, max: number): number => min + Math.floor(next() * (max - min + 1)),
    chance: (probability: number): boolean => next() < probability,
    pick: <T>(items: readonly T[]): T => {
      if (items.length === 0) throw new SimulatorError('cannot pick an item of an empty list')
      return items[Math.floor(next() * items.length)] as T
    },
    /** Returns a number around `median` with a long tail to the right, at most `max`. The sum of four numbers approximates a normal distribution. */
    skewed: (median: number, sigma: number, max: number): number =>
      Math.min(max, median * Math.exp(sigma * (next() + next() + next() + next() - 2) * Math.sqrt(3))),
    /** Returns a random time until the next event, for events that are `mean` apart on average. */
    wait: (mean: number): number => -Math.log(1 - next()) * mean,
  }
}

export type Random = ReturnType<typeof createRandom>
