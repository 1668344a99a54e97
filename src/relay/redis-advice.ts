import { describe } from './errors.ts'

/** What to do about an error that Redis answered with: a sentence for the operator. Undefined when the error says nothing of its own. */
export function redisAdvice(error: unknown): string | undefined {
  const text = describe(error)
  if (text.includes('WRONGTYPE')) return 'this key of ENIGMA_LISTS is not a list: name the right one, or delete the key; trying again'
  if (text.includes('OOM')) return 'Redis is out of memory and refuses to copy: raise maxmemory or free some; trying again'
  if (text.includes('READONLY')) return 'this Redis is a read-only replica: name the primary in ENIGMA_SOURCES; trying again'
  if (/NOPERM|NOAUTH|WRONGPASS/.test(text)) return 'Redis refuses a command: give the user rights for lists, scripts and PubSub (docs/relay.md); trying again'
  if (text.includes('LOADING')) return 'Redis is reading its data from disk; trying again'
  if (text.includes('MISCONF')) return 'Redis cannot write its data to disk and refuses writes: free its disk; trying again'
  if (/unknown command/i.test(text)) return 'this Redis does not have a command that the relay needs (is it renamed away?): see docs/relay.md; trying again'
  return undefined
}
