export default function Page() { return <p class="state">To be written.</p> }
