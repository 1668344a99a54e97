import type { Session } from '../session.ts'

export function Stream({ session: _session }: { readonly session: Session }) {
  return <p>Stream</p>
}
