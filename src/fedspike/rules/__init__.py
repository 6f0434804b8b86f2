"""How the answers of many clients become one."""
