import type { Commit } from '../../src/adapter/index.ts'
import type { Parked } from '../../src/protocol/index.ts'
import type { Effect, Store } from '../../src/store/index.ts'

/** Returns a function that commits a batch, then calls `onParked` with each parked notification. */
export const commitTo =
  ({ commit }: Pick<Store, 'commit'>, onParked: (parked: Parked) => unknown = () => undefined) =>
  async (batch: Commit<Effect>): Promise<void> => {
    await commit(batch)
    for (const one of batch.parked) onParked(one)
  }
