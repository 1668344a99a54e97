import { BASE_KEY } from '../../protocol/index.ts'
import { KNOWN_LISTS } from '../lists/source-lists.ts'
import { within } from './check.ts'
import { fail, ok, warn, type Finding } from './finding.ts'
import { findOldestEnd } from './list-ends.ts'
import { ANSWER_MS, type SourceView } from './source-view.ts'

/** What lies at a key of the dialler's. */
export type KeyView = { readonly key: string; readonly type: string; readonly items: number }

/** The keys of ENIGMA_LISTS, those that diallers are known to use, and those found beside them; in this order. */
export async function lookAtKeys({ ask, config }: SourceView): Promise<KeyView[]> {
  const found = await scanKeys(ask).catch(() => [])
  return Promise.all(
    [...new Set([...config.lists, ...KNOWN_LISTS, ...found])].map(async (key) => {
      const type = String(await ask('TYPE', key))
      return { key, type, items: type === 'list' ? Number(await ask('LLEN', key)) : 0 }
    }),
  )
}

/** A look at a busy server must not last: so many steps of SCAN, of so many keys each. */
const SCAN_STEPS = 50
const SCAN_KEYS = 1_000

async function scanKeys(ask: SourceView['ask']): Promise<string[]> {
  const found: string[] = []
  let cursor = '0'
  for (let step = 0; step < SCAN_STEPS; step++) {
    const reply = (await ask('SCAN', cursor, 'MATCH', `${BASE_KEY}*`, 'COUNT', String(SCAN_KEYS))) as [string, string[]]
    cursor = reply[0]
    found.push(...reply[1])
    if (cursor === '0') break
  }
  return found
}

/** One list of ENIGMA_LISTS: what it is, how much is on it, and at which end the oldest item is. */
export async function checkList(
  { name, client, config, cli }: SourceView,
  view: KeyView,
  all: readonly KeyView[],
): Promise<Finding> {
  const { key, type, items } = view
  const check = name(`list/${key}`)
  if (type === 'none') {
    const other = all.find((one) => one.type === 'list' && one.key !== key && singular(one.key) === singular(key))
    if (other === undefined) return ok(check, 'the list is empty')
    const lists = config.lists.map((list) => (list === key ? other.key : list))
    return warn(
      check,
      'doctor.list.other_key',
      `this key does not exist, but ${other.key} does, with ${other.items} items`,
      `ENIGMA_LISTS=${lists.join(',')}`,
    )
  }
  if (type !== 'list')
    return fail(
      check,
      'doctor.list.wrong_type',
      `this key is a ${type}, not a list: the relay cannot take items from it`,
      `correct the key in ENIGMA_LISTS, or delete this key if nobody needs it: ${cli(`DEL ${key}`)}`,
    )
  const oldest = await within(ANSWER_MS, findOldestEnd(client, key, items))
  const text = `${items} ${items === 1 ? 'item' : 'items'}`
  if (oldest === undefined) return ok(check, `${text}; their dialed_at does not show which end has the oldest one`)
  if (oldest !== config.listEnd)
    return warn(
      check,
      'doctor.list.wrong_end',
      `${text}; the oldest is on the ${oldest}, but ENIGMA_LIST_END is ${config.listEnd}, so the relay would take the newest first`,
      `ENIGMA_LIST_END=${oldest}`,
    )
  return ok(check, `${text}, the oldest on the ${oldest}`)
}

/** Lists that are there and not named; singular beside plural. */
export function checkNames({ name, config }: SourceView, all: readonly KeyView[]): Finding[] {
  const lists = all.filter(({ type }) => type === 'list')
  const unnamed = lists.filter(({ key }) => !config.lists.includes(key))
  const both = lists.filter((one) =>
    lists.some((other) => other.key !== one.key && singular(other.key) === singular(one.key)),
  )
  const check = name('lists')
  const findings: Finding[] = unnamed.map(({ key, items }) =>
    warn(
      check,
      'doctor.lists.not_named',
      `${key} exists with ${items} items, but ENIGMA_LISTS does not name it, so the relay does not consume it`,
      `ENIGMA_LISTS=${[...config.lists, key].join(',')}, if this relay should consume it`,
    ),
  )
  if (both.length > 0)
    findings.push(
      warn(
        check,
        'doctor.lists.singular_and_plural',
        `the singular and the plural of this key both exist: ${both.map(({ key }) => key).join(', ')}`,
        `ENIGMA_LISTS=${[...new Set([...config.lists, ...both.map(({ key }) => key)])].join(',')}, if this relay should consume both`,
      ),
    )
  if (findings.length > 0) return findings
  return [
    ok(check, lists.length === 0 ? 'no list of the dialler exists now' : 'ENIGMA_LISTS names every list that exists'),
  ]
}

const singular = (key: string) => key.replace(/s$/, '')
