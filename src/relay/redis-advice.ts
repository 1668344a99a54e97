import { describe, RelayError } from './errors.ts'

/** What to do about an error that Redis answered with: a sentence for the operator. Undefined when the error says nothing of its own. */
export function redisAdvice(error: unknown): string | undefined {
  const text = describe(error)
  if (text.includes('WRONGTYPE'))
    return 'this key of ENIGMA_LISTS is not a list: name the right one, or delete the key; trying again'
  if (text.includes('OOM'))
    return 'Redis is out of memory and refuses to copy: raise maxmemory or free some; trying again'
  if (text.includes('READONLY'))
    return 'this Redis is a read-only replica: name the primary in ENIGMA_SOURCES; trying again'
  if (/NOAUTH|WRONGPASS/.test(text))
    return 'Redis does not let the relay in: correct user and password in ENIGMA_SOURCES, best in files (docs/relay.md); trying again'
  if (text.includes('NOPERM'))
    return 'Redis refuses a command: give the user rights for lists, scripts and PubSub (docs/relay.md); trying again'
  if (text.includes('LOADING')) return 'Redis is reading its data from disk; trying again'
  if (text.includes('MISCONF'))
    return 'Redis cannot write its data to disk and refuses writes: free its disk; trying again'
  if (/unknown command/i.test(text))
    return 'this Redis does not have a command that the relay needs (is it renamed away?): see docs/relay.md; trying again'
  return undefined
}

/** What to do about a connection that cannot be had, or that has ended. */
export function connectionAdvice(error: unknown): string {
  if (error instanceof RelayError && error.code === 'relay.redis.no_secret')
    return 'a file with a user or password cannot be read or is empty: write it, and let the user of the relay read it; trying again'
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return "the server's certificate has another name: write servername=… in ENIGMA_SOURCES (docs/relay.md); trying again"
  if (/CERT|ISSUER|SELF_SIGNED|VERIFY/.test(code))
    return "the server's certificate is not trusted: name its authority by caFile=… in ENIGMA_SOURCES (docs/relay.md); trying again"
  return (
    redisAdvice(error) ??
    'Redis cannot be reached: is it running, and is the address in ENIGMA_SOURCES right? Trying again until it answers'
  )
}
