"""HTTP for people and monitors: metrics, health, a page. Reads the store and changes nothing."""
