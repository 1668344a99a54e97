import type { Effect, Store } from '../../src/store/index.ts'

type Noted = {
  /** CDR ids by campaign. */
  readonly cdrs: ReadonlyMap<string, ReadonlySet<string>>
  /** The number in the last status of each agent. */
  readonly statuses: ReadonlyMap<string, number>
}

/**
 * The effects that the functions committed. `committed` effects are in the read model. `attempted` ones may be in it, because an answer can
 * be lost.
 */
export type Effects = { readonly committed: Noted; readonly attempted: Noted; readonly commit: Store['commit'] }

export function createEffects(store: Store): Effects {
  const [committed, attempted] = [createNotes(), createNotes()]
  return {
    committed,
    attempted,
    commit: async (batch) => {
      attempted.add(batch.effects)
      await store.commit(batch)
      committed.add(batch.effects)
    },
  }
}

function createNotes() {
  const cdrs = new Map<string, Set<string>>()
  const statuses = new Map<string, number>()
  return {
    cdrs,
    statuses,
    add(effects: readonly Effect[]): void {
      for (const { name, values } of effects.flatMap(({ steps }) => steps)) {
        if (name === 'cdr') {
          const { id = '', campaign = '' } = values
          cdrs.set(campaign, (cdrs.get(campaign) ?? new Set()).add(id))
        } else if (name === 'agent_status') {
          const { ref: reference = '', status = '' } = values
          const n = Number(/^soak-pubsub-(\d+)-$/.exec(status)?.[1])
          statuses.set(reference, Math.max(n, statuses.get(reference) ?? -1))
        }
      }
    },
  }
}
