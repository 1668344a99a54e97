import type { SourceConfig } from '../config.ts'

/** The name of the user that the relay is; what a shell makes it of, when it is in a file. */
export function userOf({ url, userFile }: SourceConfig): string {
  return userFile === undefined ? decodeURIComponent(new URL(url).username) || 'default' : `$(cat ${userFile})`
}

/** `redis-cli -h dialler -p 8001`: how this server is reached by hand. Without user and password: what mends needs an administrator's. */
export function redisCli(source: SourceConfig): string {
  const { hostname, port, protocol } = new URL(source.url)
  const option = (name: string, value: string | undefined) => (value === undefined ? [] : [`${name} ${value}`])
  return [
    `redis-cli -h ${hostname.replace(/^\[|\]$/g, '')} -p ${port || '6379'}`,
    ...(protocol === 'rediss:' ? ['--tls'] : []),
    ...option('--cacert', source.caFile),
    ...option('--cert', source.certFile),
    ...option('--key', source.keyFile),
    ...option('--sni', source.servername),
  ].join(' ')
}
