import type { Session } from '../session.ts'

export function Cdrs({ session: _session }: { readonly session: Session }) {
  return <p>Cdrs</p>
}
