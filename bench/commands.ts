/**
 * Commands that a Redis behind the local proxy has run, those inside of scripts included, as Upstash counts them. The proxy runs each in a script
 * that asks for sizes first: these are not counted. @param info the reply to `INFO commandstats`
 */
export function countCommands(info: string): number {
  return [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
    .filter(([, name = '']) => !OF_THE_PROXY.test(name))
    .reduce((sum, [, , calls]) => sum + Number(calls), 0)
}
const OF_THE_PROXY = /^(?:eval|info|memory\|usage|client\|.*|hello|select|scan|flushdb|config\|.*)$/
