import { execFile as execFileCallback } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execFile = promisify(execFileCallback)

/** Creates a certificate authority in a folder, and a certificate for 127.0.0.1 that it signs. */
export async function makeCertificates(folder: string, name = 'ca'): Promise<Certified> {
  const [caFile, caKey, certFile, keyFile, request, extension] = [
    'ca.pem',
    'ca.key',
    'server.pem',
    'server.key',
    'server.csr',
    'server.ext',
  ].map((file) => join(folder, `${name}-${file}`)) as [string, string, string, string, string, string]
  const openssl = (...args: string[]) => execFile('openssl', args)
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    `/CN=${name} of the test`,
    '-keyout',
    caKey,
    '-out',
    caFile,
  )
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=dialler', '-keyout', keyFile, '-out', request)
  await writeFile(extension, 'subjectAltName=IP:127.0.0.1,DNS:dialler.test\n')
  await openssl(
    'x509',
    '-req',
    '-in',
    request,
    '-CA',
    caFile,
    '-CAkey',
    caKey,
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    extension,
    '-out',
    certFile,
  )
  return { caFile, certFile, keyFile }
}

/** The paths of a certificate, its key, and the certificate of its authority. */
export type Certified = { readonly caFile: string; readonly certFile: string; readonly keyFile: string }

/** Returns arguments for a redis-server that uses TLS on this port, and requires a client certificate. */
export const tlsArgs = ({ caFile, certFile, keyFile }: Certified, port: number): string[] =>
  `--tls-port ${port} --tls-cert-file ${certFile} --tls-key-file ${keyFile} --tls-ca-cert-file ${caFile}`.split(' ')

/** Returns arguments for a redis-server that requires no client certificate. */
export const tlsOpenArgs = (certified: Certified, port: number): string[] => [
  ...tlsArgs(certified, port),
  '--tls-auth-clients',
  'no',
]

/** Settings of a certificate. The defaults give a valid one. */
export type CertificateOptions = {
  /** Days until it expires. Default 2; -1: it has expired. */
  readonly days?: number
  /** The subject alternative names. Default: 127.0.0.1 and dialler.test. */
  readonly altName?: string
  /** The passphrase of the key. Default: none. */
  readonly passphrase?: string
}

/** Creates a key, and a certificate signed by the authority that `makeCertificates` created under the name `authority`. */
export async function signCertificate(
  folder: string,
  authority: string,
  name: string,
  { days = 2, altName = 'IP:127.0.0.1,DNS:dialler.test', passphrase }: CertificateOptions = {},
) {
  const file = (end: string) => join(folder, `${name}-${end}`)
  const openssl = (...args: string[]) => execFile('openssl', args)
  const [keyFile, certFile, request, extension] = [file('own.key'), file('own.pem'), file('own.csr'), file('own.ext')]
  const secret = passphrase === undefined ? ['-nodes'] : ['-passout', `pass:${passphrase}`]
  await openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    ...secret,
    '-subj',
    `/CN=${name}`,
    '-keyout',
    keyFile,
    '-out',
    request,
  )
  await writeFile(extension, `subjectAltName=${altName}\n`)
  const ca = [
    '-CA',
    join(folder, `${authority}-ca.pem`),
    '-CAkey',
    join(folder, `${authority}-ca.key`),
    '-CAcreateserial',
  ]
  await openssl('x509', '-req', '-in', request, ...ca, '-days', String(days), '-extfile', extension, '-out', certFile)
  return { certFile, keyFile }
}
