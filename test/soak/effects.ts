import type { Effect, Store } from '../../src/store/index.ts'

type Noted = {
  /** The ids of CDRs, by campaign. */
  readonly cdrs: ReadonlyMap<string, ReadonlySet<string>>
  /** The last status of each agent: the number in its name. */
  readonly statuses: ReadonlyMap<string, number>
}

/**
 * What the functions had the store commit: what it took is in the read model, and what it was given and did not answer for may be,
 * since an answer may be lost.
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
