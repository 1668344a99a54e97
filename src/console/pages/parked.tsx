import type { Session } from '../session.ts'

export function Parked({ session: _session }: { readonly session: Session }) {
  return <p>Parked</p>
}
