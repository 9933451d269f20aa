{# The filters by application and feature, of a table that has these columns. #}
AND ({app:String} = '' OR app = {app:String})
AND ({category:String} = '' OR category = {category:String})
AND ({name:String} = '' OR name = {name:String})
